"""What a start would make is planned on the hosts that would make it; nothing is changed."""

from __future__ import annotations

from engine.testing.kit import engines, tree
from engine.wire.codec import flatten
from engine.wire.messages import Plan, ReadPlan

GROUP = "engine.compound.Compound"


async def test_types_look_whether_what_they_need_is_there(tmp_path):
    async with engines(tmp_path / "state", 2) as (_, (one, two)):
        image = {"sfClass": "components.images.BaseImage", "source": str(tmp_path / "none")}
        bridge = {
            "sfClass": "components.networks.Bridge", "name": "sd-none", "sfProcessHost": "host2",
        }  # fmt: skip
        root = tree({"sfClass": GROUP, "image": image, "net": bridge})
        plan = await one.process.reader.read(ReadPlan("app", flatten(root)))
        assert isinstance(plan, Plan)
        said = {problem.where.rpartition(":")[2]: problem for problem in plan.problems}
        assert "there is no image" in said["image"].message
        assert "there is no bridge sd-none" in said["net"].message
        assert all(problem.hint for problem in plan.problems)
        assert not one.process.lives
        assert not two.process.lives
        (tmp_path / "none").mkdir()
        plan = await one.process.reader.read(ReadPlan("app", flatten(root)))
        assert len(plan.problems) == 1
