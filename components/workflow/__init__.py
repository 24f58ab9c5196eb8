"""Compounds that decide about their children in other ways than shared fate, and what they ask."""

from components.workflow.acts import (
    Attribute,
    Terminator,
)
from components.workflow.attempts import (
    Attempt,
    Retry,
    Try,
)
from components.workflow.choices import (
    AssertPostConditionFailed,
    AssertPostConditionMet,
    EvaluateCondition,
    FailingWaitFor,
    If,
    LivenessTest,
    PostCondition,
    ReadyGate,
    WaitFor,
)
from components.workflow.conditions import (
    And,
    Compare,
    Condition,
    IsAlive,
    IsReady,
    Matches,
    Not,
    Or,
    Resolves,
    RunningFor,
    StringEquals,
    StringLength,
    Xor,
)
from components.workflow.elsewhere import (
    Deployer,
    Run,
)
from components.workflow.endings import (
    CounterAction,
    Finally,
    OnTermination,
)
from components.workflow.events import (
    EventCompound,
    EventCounter,
    EventLog,
    EventPrim,
    EventQueue,
    EventSend,
    OnEvent,
)
from components.workflow.groups import (
    Collect,
    Container,
    DetachingCompound,
    FireBreak,
    ForEach,
    Parallel,
    Retract,
)
from components.workflow.scheduling import (
    Schedulee,
    Scheduler,
)
from components.workflow.sequences import (
    RandomSequence,
    Repeat,
    Sequence,
    Until,
    While,
)
from components.workflow.supervisor import (
    Supervisor,
)
from components.workflow.timing import (
    Delay,
    DoNothing,
    During,
    SlowStart,
    Timeout,
)

__all__ = [
    "And",
    "AssertPostConditionFailed",
    "AssertPostConditionMet",
    "Attempt",
    "Attribute",
    "Collect",
    "Compare",
    "Condition",
    "Container",
    "CounterAction",
    "Delay",
    "Deployer",
    "DetachingCompound",
    "DoNothing",
    "During",
    "EvaluateCondition",
    "EventCompound",
    "EventCounter",
    "EventLog",
    "EventPrim",
    "EventQueue",
    "EventSend",
    "FailingWaitFor",
    "Finally",
    "FireBreak",
    "ForEach",
    "If",
    "IsAlive",
    "IsReady",
    "LivenessTest",
    "Matches",
    "Not",
    "OnEvent",
    "OnTermination",
    "Or",
    "Parallel",
    "PostCondition",
    "RandomSequence",
    "ReadyGate",
    "Repeat",
    "Resolves",
    "Retract",
    "Retry",
    "Run",
    "RunningFor",
    "Schedulee",
    "Scheduler",
    "Sequence",
    "SlowStart",
    "StringEquals",
    "StringLength",
    "Supervisor",
    "Terminator",
    "Timeout",
    "Try",
    "Until",
    "WaitFor",
    "While",
    "Xor",
]
