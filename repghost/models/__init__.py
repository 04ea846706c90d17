"""WHAT is compared: branches and their exact fusion, modules, networks, registry, cost."""
