"""Work on models before and after a conversion: cut a part out, hold two side by side."""
