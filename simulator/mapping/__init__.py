"""How a layer's loops lie on a memory hierarchy: loop nests, their cost, and the search for one."""
