"""How a Report looks: the page, its figures and tables."""
