"""What a back end serves: the same virtio devices that guests of ours have, with a real medium or a switch behind them."""
