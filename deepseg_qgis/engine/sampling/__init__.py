"""Maps of categories as strata: how much ground each has, and random places in it."""
