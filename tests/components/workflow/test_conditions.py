"""Conditions say yes or no when asked, and those who ask act upon it."""

from __future__ import annotations

import http.server
import threading

import pytest

from engine.ports import free_port
from engine.testing.kit import engines
from engine.wire.codec import decode, encode


async def ask(stage, name):
    live = stage.find(name)
    return decode(await live.process.calls.invoke(live.ident, "evaluate", encode([])), bool)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("BooleanValue { value true; }", True),
        ("Condition { test LAZY PARENT:yes; }", True),
        ("Condition { test (LAZY PARENT:PARENT:number == 3); }", True),
        ("Condition { test (LAZY PARENT:PARENT:number > 3); }", False),
        ("Not { condition false; }", True),
        ("Not { condition extends BooleanValue { value true; } }", False),
        ("And { a extends BooleanValue { value true; } b extends BooleanValue { value false; } }", False),
        ("And { }", True),
        ("Or { a extends BooleanValue { value true; } b extends BooleanValue { value false; } }", True),
        ("Or { }", False),
        ("Xor { a extends BooleanValue { value true; } b extends BooleanValue { value true; } }", False),
        ("Equals { left LAZY PARENT:number; right 3; }", True),
        ("Equals { left 1; right true; }", False),
        ("Compare { left 2; op \"<\"; right 2.5; }", True),
        ("Compare { left \"b\"; op \"<=\"; right \"a\"; }", False),
        ("StringEquals { left \"A\"; right \"a\"; }", False),
        ("StringEquals { left \"A\"; right \"a\"; caseSensitive false; }", True),
        ("StringLength { string \"abc\"; length 3; }", True),
        ("Matches { string \"node17\"; pattern \"^node[0-9]+$\"; }", True),
        ("Resolves { reference LAZY PARENT:number; }", True),
        ("Resolves { reference LAZY PARENT:nothing; }", False),
        ("IsAlive { target LAZY PARENT:s; }", True),
        ("IsAlive { target LAZY PARENT:nobody; }", False),
        ("IsReady { target LAZY PARENT:s; }", True),
        ("RunningFor { milliseconds 0; }", True),
        ("RunningFor { hours 1; }", False),
        ("IsPropertySet { property \"PATH\"; }", True),
        ("IsPropertyTrue { property \"PATH\"; }", False),
        ("FileExists { filename \"/etc/passwd\"; minSize 1; }", True),
        ("FileExists { filename \"/etc/passwd\"; maxSize 1; }", False),
        ("FileExists { filename \"/etc\"; canBeDirectory false; }", False),
        ("FileExists { filename \"/nowhere\"; }", False),
        ("DirectoryExists { filename \"/etc\"; }", True),
        ("HostnameIs { hostnames [|\"nobody\", \"host1\"|]; }", True),
        ("HostnameIs { hostnames \"nobody\"; }", False),
        ("IsOS { os \"Linux\"; }", True),
        ("IsOS { os \"windows\"; }", False),
    ],
)  # fmt: skip
def test_a_condition_says_yes_or_no_and_why_not(stage_here, text, good):
    async def story(stage):
        root = f"Group {{ yes true; number 3; s extends Step {{ takes -1; }} c extends {text} }}"
        await stage.start(root)
        assert await ask(stage, "c") is good
        assert bool(stage.find("c").value("failureText")) is not good

    stage_here(story)


def test_references_are_read_anew_at_each_evaluation(stage_here):
    async def story(stage):
        await stage.start("Group { n 1; c extends Compare { left LAZY PARENT:n; right 2; } }")
        assert not await ask(stage, "c")
        await stage.set("app", "n", 2)
        assert await ask(stage, "c")

    stage_here(story)


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/good" else 503)
        self.end_headers()
        self.wfile.write(b"all is well")

    def log_message(self, *_):
        pass


@pytest.fixture
def served():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join(10)


async def test_probes_of_ports_pages_and_commands(served, tmp_path, make_stage):
    closed = free_port()
    async with engines(tmp_path / "state", 2, threads=True) as (network, (one, two)):
        stage = make_stage(network, one, two, tmp_path)
        cases = {
            f'PortOpen {{ host "127.0.0.1"; port {served}; }}': True,
            f'PortOpen {{ host "127.0.0.1"; port {closed}; }}': False,
            f'HttpOk {{ url "http://127.0.0.1:{served}/good"; contains "well"; }}': True,
            f'HttpOk {{ url "http://127.0.0.1:{served}/good"; contains "ill"; }}': False,
            f'HttpOk {{ url "http://127.0.0.1:{served}/bad"; }}': False,
            f'HttpOk {{ url "http://127.0.0.1:{closed}/"; }}': False,
            'CommandSucceeds { cmd "true"; }': True,
            'CommandSucceeds { cmd [|"sh", "-c", "echo no >&2; exit 3"|]; }': False,
            'CommandSucceeds { cmd "sleep 60"; timeout 100; }': False,
            'CommandSucceeds { cmd [|"/no/such/program", "x"|]; }': False,
        }
        body = " ".join(f"c{n} extends {text}" for n, text in enumerate(cases))
        await stage.start(f"Group {{ {body} }}")
        for n, (text, good) in enumerate(cases.items()):
            assert await ask(stage, f"c{n}") is good, text
        assert "no" in stage.find("c7").value("failureText")
        await one.terminate("app")


def test_if_asks_once_and_ends_as_its_branch(play):
    async def story(stage):
        branches = 'then extends LAZY Step; else extends LAZY Step { ends [|"odd"|]; }'
        assert (await stage.run(f"If {{ condition true; {branches} }}")).type == "normal"
        assert stage.said == ["then"]
        await stage.start(f"If {{ condition false; {branches} }}", "b")
        assert (await stage.end("b")).type == "odd"
        await stage.start("If { condition false; then extends LAZY Step; }", "c")
        assert (await stage.end("c")).type == "normal"
        assert stage.said == []

    play(story)


def test_wait_for_looks_until_the_condition_is_true(play):
    async def story(stage):
        await stage.start(
            "WaitFor { interval 1000; condition extends RunningFor { seconds 5; }"
            " then extends LAZY Step; }"
        )
        assert (await stage.end()).type == "normal"
        assert [text for _, text in stage.times] == ["then"]
        assert 5 <= round(stage.times[0][0], 1) < 7

    play(story)


@pytest.mark.parametrize(
    ("kind", "type_", "said"),
    [("WaitFor", "normal", ["else"]), ("FailingWaitFor", "abnormal", [])],
)
def test_what_happens_when_the_wait_is_over(play, kind, type_, said):
    async def story(stage):
        record = await stage.run(
            f"{kind} {{ interval 700; timeout 2000; condition extends FileExists"
            ' { filename "/nowhere"; } else extends LAZY Step; }'
        )
        assert record.type == type_
        assert stage.said == said
        if type_ == "abnormal":
            assert "/nowhere is not there, for 2 s" in record.description

    play(story)


def test_a_condition_that_cannot_be_asked_ends_a_wait_abnormally(play):
    async def story(stage):
        record = await stage.run("WaitFor { interval 700; condition LAZY nobody; }")
        assert record.type == "abnormal"
        assert "cannot be asked" in record.description

    play(story)


def test_the_condition_may_be_elsewhere(play):
    async def story(stage):
        await stage.start(
            'Compound { c extends BooleanValue { sfProcessHost "host2"; value true; }'
            " w extends WaitFor { condition LAZY c; then extends LAZY Step; } }"
        )
        await stage.until(lambda: "then" in stage.said)

    play(story)


@pytest.mark.parametrize(
    ("kind", "condition", "type_"),
    [
        ("AssertPostConditionMet", "true", "normal"),
        ("AssertPostConditionMet", "false", "abnormal"),
        ("AssertPostConditionFailed", "true", "abnormal"),
        ("AssertPostConditionFailed", "false", "normal"),
        ("PostCondition", "false", "normal"),
    ],
)
def test_conditions_after_an_action(play, kind, condition, type_):
    async def story(stage):
        record = await stage.run(f"{kind} {{ condition {condition}; action extends Step; }}")
        assert record.type == type_
        assert stage.said == ["action"]

    play(story)


def test_evaluate_condition_fails_the_start_if_told_to(play):
    async def story(stage):
        with pytest.raises(Exception, match="not today"):
            await stage.start('EvaluateCondition { condition false; message "not today"; }')
        await stage.start("EvaluateCondition { condition false; failOnFalse false; }", "b")
        assert stage.find("b").value("result") is False

    play(story)


def test_a_liveness_test_is_unwell_while_its_condition_is_false(play):
    async def story(stage):
        record = await stage.run(
            "Group { sfLivenessDelay 5; ok true; t extends LivenessTest"
            " { condition LAZY PARENT:late; delay 20000; } late extends Not { condition LAZY PARENT:ok; } }"
        )
        assert record.type == "livenessFailure"

    play(story)


def test_a_ready_gate_holds_back_those_that_depend_on_it(play):
    async def story(stage):
        await stage.start(
            "Group { gate extends ReadyGate { interval 500; condition extends RunningFor"
            " { seconds 4; } } s extends Step { takes -1; sfDependsOn LAZY gate; } }"
        )
        assert stage.times[0][0] >= 4

    play(story)


def test_a_ready_gate_that_waits_too_long_fails_the_start(play):
    async def story(stage):
        with pytest.raises(Exception, match="not ready within 2 s"):
            await stage.start(
                "Group { gate extends ReadyGate { timeout 2000; condition false; }"
                " s extends Step { takes -1; sfDependsOn LAZY gate; } }"
            )
        assert stage.left == []

    play(story)


def test_ready_when_may_lead_to_a_condition(play):
    async def story(stage):
        await stage.start(
            "Group { c extends RunningFor { seconds 3; }"
            " s extends Step { takes -1; sfReadyWhen LAZY PARENT:c; } }"
        )
        app = stage.find("app")
        assert not app.ready
        await stage.until(lambda: app.ready)

    play(story)


def test_a_reference_of_a_condition_may_lead_nowhere_until_it_is_asked(stage_here):
    async def story(stage):
        await stage.start(
            "Group { c extends Condition { test LAZY PARENT:later; } e extends Equals { left LAZY PARENT:later; right true; } }"
        )
        with pytest.raises(Exception, match="later"):
            await ask(stage, "c")
        await stage.set("app", "later", True)
        assert await ask(stage, "c")
        assert await ask(stage, "e")

    stage_here(story)


def test_equals_says_what_is_not_what(stage_here):
    async def story(stage):
        await stage.start(
            "Group { c extends Equals { left 1; right LAZY PARENT:two; } two 2; v extends Equals { left [|1|]; right 1; } }"
        )
        assert not await ask(stage, "c")
        assert stage.find("c").value("failureText") == "1 is not 2"
        assert not await ask(stage, "v")
        assert stage.find("v").value("failureText") == "v is false"

    stage_here(story)


@pytest.mark.parametrize(("text", "good"), [("True", True), ("False", False)])
def test_true_and_false_are_what_they_say(stage_here, text, good):
    async def story(stage):
        await stage.start(f"Group {{ c extends {text}; }}")
        assert await ask(stage, "c") is good

    stage_here(story)
