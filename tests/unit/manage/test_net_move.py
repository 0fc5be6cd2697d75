"""A guest with a virtual function moves by its split card, and no frame is lost."""

from vmio.manage.migration import net_move


def test_frames_go_by_the_card_while_it_moves_and_by_a_function_before_and_after():
    story = net_move.run()
    assert "no live migration while nic0-vf0 is assigned to it" in story.refused
    assert story.report.status == "completed" and story.report.equal and story.report.downtime_ns < 1_000_000
    assert story.arrived == sum(story.sent) == net_move.FRAMES == sum(each.arrived for each in story.slices)
    ways = [(each.where, each.by_card > each.by_function) for each in story.slices]
    assert ways == [("source", True), ("source", False), ("source", False), ("source", True), ("destination", True), *[("destination", False)] * 6]
    assert story.slices[-1].by_card == story.slices[-1].by_function - 50 == 0
