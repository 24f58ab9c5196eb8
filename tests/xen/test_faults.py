"""What fails around real Xen guests and real logical volumes, thick and thin, leaves nothing."""

from __future__ import annotations

import msgspec
import pytest

from engine.testing.sabotage import VARIABLE, Plan
from tests.xen.looking import THIN, domains, holds_as, sf, until, xen_holds

pytestmark = [pytest.mark.xen, pytest.mark.timeout(1200)]

PLANS = [
    Plan("LogicalVolume", "making", "raise"),
    Plan("LogicalVolume", "made", "raise"),
    Plan("DefinedDomain", "made", "raise"),
    Plan("RunningDomain", "made", "raise"),
    Plan("RunningDomain", "made", "kill"),
]
"""One for each run, in this order; a daemon has them all, and each strikes once."""

POOL = """
#include "components/vm.sf"
sfConfig extends Compound {
    sfLivenessDelay 10; sfSyncTerminate true;
    guest TBD; pool "";
    xen extends PhysicalHost {
        sfProcessHost "x1"; sfSyncTerminate true;
        lvm extends LVMStorageBackend {
            baseImage (guest ++ "/base.ext4"); volumeSize "32m"; swapSize "4m"; thinPool pool;
            keepOnFailure 0;
        }
        vm extends XenDomain {
            memory 96; kernel (guest ++ "/vmlinuz"); ramdisk (guest ++ "/initrd.gz");
            guestMode "pvh"; stopMode "destroy"; storageBackend LAZY ATTRIB lvm;
        }
    }
}
"""
LAUNCHER = f"""\
#!/bin/sh
# The daemon of the next start has the plans; the one after it has none.
if [ -e "$0.plans" ]; then
    {VARIABLE}=$(cat "$0.plans"); export {VARIABLE}
    rm "$0.plans"
fi
exec "$0.before" "$@"
"""
REPLACE = 'cp "$1" "$1.before" && printf %s "$2" > "$1" && printf %s "$3" > "$1.plans"'


@pytest.fixture
def sabotaged(xen_lab):
    """The Xen host's daemon fails as planned; afterwards it is the usual one again."""
    host, program = xen_lab["x1"], str(xen_lab.folder / "bin/sfdaemon")
    plans = msgspec.json.encode(PLANS).decode()
    done = host.run("sh", "-c", REPLACE, "sh", program, LAUNCHER, plans)
    assert done.code == 0, done.err
    host.kill("daemon")
    until(lambda: host.ready)
    yield xen_lab
    assert host.run("mv", f"{program}.before", program).code == 0
    host.kill("daemon")
    until(lambda: host.ready)


def test_five_faults_leave_nothing_and_then_it_works(sabotaged, tmp_path):
    lab, description = sabotaged, tmp_path / "pool.sf"
    description.write_text(POOL)
    before = xen_holds(lab)
    start = ("sfstart", "h1", "pool", description, "--set", f"guest={lab.folder}/guest")
    for number, plan in enumerate(PLANS):
        pool = THIN if number % 2 else ""

        done = lab.sf(*map(str, start), "--set", f"pool={pool}", limit_s=600)

        assert done.code != 0, plan
        if plan.mode == "raise":
            assert f"sabotage: {plan.when} {plan.effect}" in done.err, done.err
        holds_as(lab, before)

    until(lambda: lab["x1"].ready)
    sf(lab, *start, "--set", f"pool={THIN}")
    assert domains(lab, "x1") == ["pool-xen-vm"]
    assert "logical volume vg1 pool-xen-vm-volume1 sd." in " ".join(xen_holds(lab))
    sf(lab, "sfterminate", "h1", "pool")
    assert xen_holds(lab) == before
