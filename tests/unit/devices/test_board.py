"""A board and its chips: none is forgotten."""

from vmio.devices.board import Board
from vmio.modes import Machine

NO_CHIPS = {"guest": "whose board it is", "bridge": "a function of `pci`, which saves it"}


def test_every_chip_of_a_board_is_in_its_checkpoint():
    board = Board(Machine().guest(ram_mib=2).make().guest)
    kept = [*board._chips().values(), *board.ata]
    chips = {name: part for name, part in vars(board).items() if hasattr(part, "save") and name not in NO_CHIPS}
    assert len(chips) >= 10
    assert [name for name, chip in chips.items() if not any(chip is each for each in kept)] == []
    assert board.save()["chips"].keys() == board._chips().keys()
