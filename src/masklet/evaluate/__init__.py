"""How good is it? The field's own measures and protocols, over any model, with a report that one can look at."""
