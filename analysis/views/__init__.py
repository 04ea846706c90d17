"""What the report shows beside the scatter and the curves: a module a section."""
