"""What is wrong with this machine?  Faults that can be put in, detectors, rules, and how often they are right."""
