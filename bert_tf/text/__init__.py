"""How text becomes token ids."""
