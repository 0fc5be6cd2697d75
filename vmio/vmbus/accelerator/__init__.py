"""A matrix engine as a service: the guest names its memory and hands over command buffers, the host looks at each and owns the device."""
