"""Other packages' methods on the same image, network, class, layer, regions and baseline, each through its own code."""
