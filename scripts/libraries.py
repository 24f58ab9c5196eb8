"""Writes the description libraries of our own components from their declarations.

python scripts/libraries.py           writes descriptions/components/*.sf
python scripts/libraries.py --check   says whether they are as they would be written
"""

import importlib
import sys
import textwrap
from pathlib import Path

import sfdl
from components.storage.backend import ON_THE_DOMAIN, StorageBackend
from engine.compound import Compound
from engine.prim import Prim
from engine.runtime.attributes import REQUIRED, Attr
from sfdl.values import Value, Vector

FOLDER = Path(__file__).parents[1] / "descriptions" / "components"
LIBRARIES = {
    "workflow.sf": (
        "Compounds that decide about their children in other ways than shared fate.",
        (
            "components.workflow:Supervisor",
            "components.workflow:Sequence",
            "components.workflow:RandomSequence",
            "components.workflow:Repeat",
            "components.workflow:While",
            "components.workflow:Until",
            "components.workflow:Parallel",
            "components.workflow:ForEach",
            "components.workflow:Collect",
            "components.workflow:Container",
            "components.workflow:FireBreak",
            "components.workflow:Retract",
            "components.workflow:DetachingCompound",
            "components.workflow:Retry",
            "components.workflow:Try",
            "components.workflow:Attempt",
            "components.workflow:Timeout",
            "components.workflow:During",
            "components.workflow:Delay",
            "components.workflow:SlowStart",
            "components.workflow:DoNothing",
            "components.workflow:If",
            "components.workflow:WaitFor",
            "components.workflow:FailingWaitFor",
            "components.workflow:PostCondition",
            "components.workflow:AssertPostConditionMet",
            "components.workflow:AssertPostConditionFailed",
            "components.workflow:EvaluateCondition",
            "components.workflow:Finally",
            "components.workflow:OnTermination",
            "components.workflow:CounterAction",
            "components.workflow:Run",
            "components.workflow:Deployer",
            "components.workflow:Scheduler",
            "components.workflow:Schedulee",
            "components.workflow:Terminator",
            "components.workflow:Attribute",
            "components.workflow:ReadyGate",
            "components.workflow:LivenessTest",
        ),
    ),
    "conditions.sf": (
        "Conditions: components that say yes or no when they are asked.",
        (
            "components.workflow:Condition",
            "components.workflow:BooleanValue",
            "components.workflow:And",
            "components.workflow:Or",
            "components.workflow:Xor",
            "components.workflow:Not",
            "components.workflow:StringEquals",
            "components.workflow:StringLength",
            "components.workflow:Matches",
            "components.workflow:Compare",
            "components.workflow:Equals",
            "components.workflow:Resolves",
            "components.workflow:IsAlive",
            "components.workflow:IsReady",
            "components.workflow:RunningFor",
            "components.system:FileExists",
            "components.system:DirectoryExists",
            "components.system:PortOpen",
            "components.system:HttpOk",
            "components.system:HostnameIs",
            "components.system:IsOS",
            "components.system:CommandSucceeds",
            "components.system:IsPropertySet",
            "components.system:IsPropertyTrue",
        ),
    ),
    "events.sf": (
        "Events between components.",
        (
            "components.workflow:EventPrim",
            "components.workflow:EventCompound",
            "components.workflow:EventSend",
            "components.workflow:OnEvent",
            "components.workflow:EventCounter",
            "components.workflow:EventQueue",
            "components.workflow:EventLog",
        ),
    ),
    "system.sf": (
        "Programs of a host as components.",
        (
            "components.system:Shell",
            "components.system:BashShell",
            "components.system:Process",
        ),
    ),
    "images.sf": ("Images that volumes are filled from.", ("components.images:BaseImage",)),
    "storage.sf": (
        "Storage backends: the volumes of one domain each. What is NULL may be said on the domain.",
        (
            "components.storage:LoopbackStorageBackend",
            "components.storage:LVMStorageBackend",
            "components.storage:OverlayStorageBackend",
            "components.storage:Qcow2StorageBackend",
        ),
    ),
    "networks.sf": (
        "Networks and bridges that virtual machines are on.",
        ("components.networks:Network", "components.networks:Bridge"),
    ),
    "hosts.sf": ("Hosts of a description.", ("components.hosts:PhysicalHost",)),
    "kvm.sf": ("QEMU guests.", ("components.kvm:KvmDomain",)),
    "xen.sf": ("Xen guests.", ("components.xen:XenDomain",)),
    "domains.sf": (
        "Virtual machines of whatever kind the host has.",
        ("components.domains.vm:VM",),
    ),
}
HEAD = """// {title}
//
// Written from the declarations by scripts/libraries.py; change those, not this file.
// Sizes: a whole number is MiB, text has a unit ("512m", "1.5g"). Durations: in the unit the comment
// says, or text with a unit ("500ms", "2m").

#include "org/smartfrog/components.sf"
"""
KINDS = {"String", "Boolean", "Vector", "Long", "Double"}


def _value(declared: Attr) -> Value:
    default = declared.default
    if isinstance(default, tuple):
        return Vector(tuple(default))
    return default


def _line(name: str, text: str, doc: str) -> str:
    comment = textwrap.indent("\n".join(textwrap.wrap(doc, 96)), "    // ")
    return f"{comment}\n    {name} {text};"


def _attribute(cls: type[Prim], name: str, declared: Attr) -> str:
    if issubclass(cls, StorageBackend) and name in ON_THE_DOMAIN:
        text = "NULL"
    elif declared.default is REQUIRED:
        text = "TBD"
    elif declared.default is None:
        text = "NULL"
    else:
        text = sfdl.print_value(_value(declared))
    words = f" One of {', '.join(declared.choices)}." if declared.choices else ""
    return _line(name, text, declared.doc + words)


def _schema(cls: type[Prim], name: str, base: str) -> str:
    """Write the schema: kinds the language knows; ranges and words are checked by the daemon."""
    lines = [f"{name}Schema extends {base}Schema {{"]
    for attribute, declared in cls.declarations.attrs.items():
        kind = declared.kind.schema
        if kind in KINDS:
            doc = declared.doc.replace("\\", "\\\\").replace('"', '\\"')
            about = f'class [|"{kind}", "Null"|]; description "{doc}";'
            lines.append(f"    {attribute} extends Optional {{ {about} }}")
    return "\n".join([*lines, "}"])


def _prototype(path: str) -> str:
    module, _, name = path.partition(":")
    cls: type[Prim] = getattr(importlib.import_module(module), name)
    base = "Compound" if issubclass(cls, Compound) else "Prim"
    doc = "\n".join(textwrap.wrap(" ".join((cls.__doc__ or "").split()), 96))
    lines = [
        _schema(cls, name, base), "", f"/** {doc} */", f"{name} extends {base} {{",
        f"    schema extends {name}Schema;", f'    sfClass "{module}.{name}";',
    ]  # fmt: skip
    for attribute, declared in cls.declarations.attrs.items():
        lines.append(_attribute(cls, attribute, declared))
    for attribute, link in cls.declarations.links.items():
        on_domain = issubclass(cls, StorageBackend) and attribute in ON_THE_DOMAIN
        text = "TBD" if link.required and not on_domain else "NULL"
        lines.append(_line(attribute, text, f"Reference to {link.face.__name__}: {link.doc}"))
    return "\n".join([*lines, "}"])


def text(file: str) -> str:
    title, types = LIBRARIES[file]
    return HEAD.format(title=title) + "\n" + "\n\n".join(_prototype(path) for path in types) + "\n"


def main() -> int:
    stale = 0
    for file in LIBRARIES:
        page = FOLDER / file
        if "--check" in sys.argv:
            if not page.exists() or page.read_text("utf-8") != text(file):
                print(f"{page} is stale: run python scripts/libraries.py", file=sys.stderr)
                stale = 1
        else:
            page.write_text(text(file), "utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())
