"""The host's network card: an Intel 82576, one physical function that makes up to eight virtual ones, and a switch between them."""
