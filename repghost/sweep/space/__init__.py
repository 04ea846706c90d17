"""Which variants: what is swept, composed, left out, and suggested."""
