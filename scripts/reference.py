"""Writes docs/components.md from the declarations: every type, attribute, default and method.

python scripts/reference.py           writes the page
python scripts/reference.py --check   says whether it is as it would be written
"""

import importlib
import sys
from pathlib import Path

from engine.prim import Prim
from engine.runtime.attributes import Attr
from engine.runtime.kinds import shown

PAGE = Path(__file__).parents[1] / "docs" / "components.md"
TYPES = (
    "engine.compound:Compound",
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
    "components.workflow:EventPrim",
    "components.workflow:EventCompound",
    "components.workflow:EventSend",
    "components.workflow:OnEvent",
    "components.workflow:EventCounter",
    "components.workflow:EventQueue",
    "components.workflow:EventLog",
    "components.hosts:PhysicalHost",
    "components.kvm:KvmDomain",
    "components.xen:XenDomain",
    "components.domains.vm:VM",
    "components.storage:LoopbackStorageBackend",
    "components.storage:LVMStorageBackend",
    "components.storage:OverlayStorageBackend",
    "components.images:BaseImage",
    "components.networks:Network",
    "components.networks:Bridge",
    "components.system:BashShell",
    "components.system:Shell",
    "components.system:Process",
)
HEAD = """# Component types

Generated from the declarations by `python scripts/reference.py`. Sizes: a whole number is MiB, text
has a unit (`"512m"`, `"1.5g"`). Durations are in the unit named, or text with a unit (`"500ms"`).
"""


def _default(declared: Attr) -> str:
    default = declared.default
    if default is None:
        return ""
    return f"`{shown(default)}`" if isinstance(default, str | int | float | bool) else "*required*"


def _section(path: str) -> str:
    module, _, name = path.partition(":")
    cls: type[Prim] = getattr(importlib.import_module(module), name)
    declarations = cls.declarations
    lines = [f"\n## {name}\n", f'`sfClass "{module}.{name}"`, short name `{cls.type_name}`. ']
    lines[-1] += " ".join((cls.__doc__ or "").split())
    if declarations.attrs or declarations.links:
        lines.append("\n| attribute | kind | default | meaning |\n|---|---|---|---|")
    for name_, declared in declarations.attrs.items():
        limits = f" {declared.kind.spell(declared.ge)} or more." if declared.ge is not None else ""
        words = f" One of {', '.join(declared.choices)}." if declared.choices else ""
        meaning = f"{declared.doc}{words}{limits}"
        row = f"| `{name_}` | {declared.kind.name} | {_default(declared)} | {meaning} |"
        lines.append(row)
    for name_, link in declarations.links.items():
        default = "*required*" if link.required else ""
        lines.append(f"| `{name_}` | reference to {link.face.__name__} | {default} | {link.doc} |")
    for name_, written in declarations.outputs.items():
        lines.append(f"| `{name_}` | written by the component | | {written.doc} |")
    if cls.reserved:
        pairs = ", ".join(f"`{key} {shown(value)}`" for key, value in cls.reserved.items())
        lines.append(f"\nIts own defaults of reserved attributes: {pairs}.")
    return "\n".join(lines)


def text() -> str:
    return HEAD + "\n".join(_section(path) for path in TYPES) + "\n"


def main() -> int:
    if "--check" in sys.argv:
        stale = PAGE.read_text("utf-8") != text()
        if stale:
            print("docs/components.md is stale: run python scripts/reference.py", file=sys.stderr)
        return int(stale)
    PAGE.write_text(text(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
