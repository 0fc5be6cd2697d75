"""PCI: configuration space and the parts that any function is made of."""
