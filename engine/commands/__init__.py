"""The commands, one module each: thin fronts over `engine.client`."""
