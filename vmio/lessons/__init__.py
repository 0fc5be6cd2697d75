"""The lessons: tables, panels and pictures of each, over the kit of `vmio.lab`."""
