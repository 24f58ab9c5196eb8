"""What the agent of a guest that runs is asked to do, one shell script for each step. Pure.

What the guest is called and where it is found is done at every boot; all else once for each instance, as
it is noted in the guest.
"""

from __future__ import annotations

import shlex

from msgspec import Struct
from msgspec.structs import replace

from components.context.quoting import assignment
from components.context.script import guest_script, variables
from components.context.systems import fstab_line
from components.context.told import GuestFile, Person, Told, Wishes, instance_id

STATE = "/var/lib/smartdomains"
"""Folder of the guest that holds which instance was applied, and at which boot."""
_FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_READ = f'export PATH="$PATH:{_FOLDERS}"; script=$(cat); exec < /dev/null; eval "$script"'
SHELL = ("/bin/sh", "-c", _READ)
"""Runs a script that it reads, so that nothing of it is seen in the guest's list of processes."""


class Step(Struct, frozen=True):
    """One thing to do in the guest.

    Attributes:
        name: For people.
        script: For the shell; its status is 0 if it is done.
        patient: It takes as long as a command of the description may.
    """

    name: str
    script: str
    patient: bool = False


class Applied(Struct, frozen=True):
    """What a guest has noted.

    Attributes:
        instance: What was applied once; empty: nothing.
        now: It was applied at this boot, too.
    """

    instance: str = ""
    now: bool = False


LOOK = Step(
    "look",
    f'echo "1 $(cat {STATE}/instance 2>/dev/null)"\n'
    f'echo "2 $(cat {STATE}/boot 2>/dev/null)"\n'
    'echo "3 $(cat /proc/sys/kernel/random/boot_id)"\n',
)
"""Finds out what the guest has noted."""


def applied(output: str) -> Applied:
    r"""Read what `LOOK` writes.

    Example:
        >>> applied("1 sd-1\n2 sd-1 b7\n3 b7\n")
        Applied(instance='sd-1', now=True)
        >>> applied("1 \n2 \n3 b7\n"), applied("1 sd-1\n2 sd-1 b6\n3 b7\n").now
        (Applied(instance='', now=False), False)
    """
    lines = dict(line.partition(" ")[::2] for line in output.splitlines())
    instance, boot = lines.get("1", ""), lines.get("3", "")
    return Applied(instance, bool(instance and boot) and lines.get("2") == f"{instance} {boot}")


def steps_for(told: Told, there: Applied) -> tuple[Step, ...]:
    """Return what is left to do in a guest; nothing if all is done."""
    instance = instance_id(told)
    known = there.instance == instance
    if known and there.now:
        return ()
    return (*_always(told), *(() if known else _once(told.wishes)), _note(instance))


def _note(instance: str) -> Step:
    lines = (
        "set -e", f"mkdir -p {STATE}",
        f'echo "{instance}" > {STATE}/instance.part',
        f"mv -f {STATE}/instance.part {STATE}/instance",
        f'echo "{instance} $(cat /proc/sys/kernel/random/boot_id)" > {STATE}/boot',
    )  # fmt: skip
    return Step("note", _lines(*lines))


# -- at every boot


def _always(told: Told) -> list[Step]:
    # files, the host key and commands are steps of their own
    plain = replace(told.wishes, files=(), host_key=None, run_commands=())
    steps = [Step("name and network", _applying(replace(told, wishes=plain)))]
    for index, beside in enumerate(told.beside):
        if beside.ip:
            other = replace(told.about(index), hostname="")
            steps.append(Step(f"interface {beside.mac}", _applying(other)))
    return steps


def _applying(told: Told) -> str:
    """Return a script that applies one interface, and fails where that does nothing."""
    found = '[ -z "$MAC" ] || [ -z "$IP" ] || [ -n "$device" ] ||'
    missing = '{ echo "there is no interface $MAC" >&2; exit 1; }'
    return _lines("set -e", variables(told), guest_script("sd-apply"), f"{found} {missing}")


# -- once for each instance


def _once(wishes: Wishes) -> list[Step]:
    commands = wishes.run_commands
    return [
        *(_user(each) for each in wishes.users),
        *(_file(each) for each in wishes.all_files),
        *([_SSHD] if wishes.host_key is not None else []),
        *([_mounts(wishes.mounts)] if wishes.mounts else []),
        *([_packages(wishes.packages)] if wishes.packages else []),
        *(
            Step(f"command {number} of {len(commands)}", command, patient=True)
            for number, command in enumerate(commands, start=1)
        ),
    ]


_USER = r"""set -e
if ! id "$name" > /dev/null 2>&1; then
    if command -v useradd > /dev/null; then useradd -m -s "$shell" "$name"
    else adduser -D -s "$shell" "$name"; fi
fi
for group in $groups; do
    if command -v usermod > /dev/null; then groupadd -f "$group"; usermod -a -G "$group" "$name"
    else grep -q "^$group:" /etc/group || addgroup "$group"; addgroup "$name" "$group"; fi
done
[ -z "$hash" ] || echo "$name:$hash" | chpasswd -e
if [ -n "$sudo" ]; then
    mkdir -p /etc/sudoers.d
    umask 337
    rm -f "/etc/sudoers.d/90-smartdomains-$name"
    echo "$name $sudo" > "/etc/sudoers.d/90-smartdomains-$name"
fi
if [ -n "$keys" ]; then
    umask 077
    home=$(awk -F: -v name="$name" '$1 == name { print $6 }' /etc/passwd)
    mkdir -p "$home/.ssh"
    file=$home/.ssh/authorized_keys
    rm -f "$file.sd"
    [ ! -e "$file" ] || sed '/^# begin smartdomains$/,/^# end smartdomains$/d' "$file" > "$file.sd"
    printf '# begin smartdomains\n%s\n# end smartdomains\n' "$keys" >> "$file.sd"
    mv -f "$file.sd" "$file"
    chown -R "$name:$(id -g "$name")" "$home/.ssh"
fi
"""


def _user(person: Person) -> Step:
    pairs = {
        "name": person.name, "shell": person.shell, "groups": " ".join(person.groups),
        "hash": person.password_hash, "sudo": person.sudo, "keys": "\n".join(person.keys),
    }  # fmt: skip
    given = (assignment(key, value) for key, value in pairs.items())
    return Step(f"user {person.name}", _lines(*given, _USER))


_FILE = """set -e
mkdir -p "$(dirname "$path")"
rm -f "$path.sd"
(umask 077; printf '%s' "$content" > "$path.sd")
chmod "$mode" "$path.sd"
mv -f "$path.sd" "$path"
"""


def _file(file: GuestFile) -> Step:
    pairs = {"path": file.path, "mode": file.mode, "content": file.content}
    given = (assignment(key, value) for key, value in pairs.items())
    return Step(f"file {file.path}", _lines(*given, _FILE))


_SSHD = Step(
    "host key",
    "pid=$(cat /run/sshd.pid 2>/dev/null)\n"
    '[ "$(cat "/proc/$pid/comm" 2>/dev/null)" != sshd ] || kill -HUP "$pid"\n',
)
"""A server that runs reads its keys again."""

_MOUNTS = """set -e
file=/etc/fstab
rm -f $file.sd
[ ! -e $file ] || sed '/^# begin smartdomains$/,/^# end smartdomains$/d' $file > $file.sd
printf '# begin smartdomains\\n%s\\n# end smartdomains\\n' "$lines" >> $file.sd
cat $file.sd > $file
rm -f $file.sd
echo "$lines" | while read -r what where kind options rest; do
    case "$where" in /*) ;; *) continue ;; esac
    mkdir -p "$where"
    if grep -q " $where " /proc/mounts || mount "$where"; then continue; fi
    case ",$options," in *,nofail,*) ;; *) exit 1 ;; esac
done
"""


def _mounts(mounts: tuple[tuple[str, ...], ...]) -> Step:
    lines = "\n".join(fstab_line(fields) for fields in mounts)
    return Step("mounts", _lines(assignment("lines", lines), _MOUNTS))


_PACKAGES = """set -e
if command -v apt-get > /dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q update
    apt-get -q -y install -- "$@"
elif command -v dnf > /dev/null; then dnf -y install "$@"
elif command -v yum > /dev/null; then yum -y install "$@"
elif command -v zypper > /dev/null; then zypper --non-interactive install "$@"
elif command -v apk > /dev/null; then apk add "$@"
else echo "none of apt-get, dnf, yum, zypper and apk is there" >&2; exit 1; fi
"""


def _packages(packages: tuple[str, ...]) -> Step:
    return Step("packages", _lines(f"set -- {shlex.join(packages)}", _PACKAGES), patient=True)


def _lines(*parts: str) -> str:
    return "".join(part if part.endswith("\n") else f"{part}\n" for part in parts)
