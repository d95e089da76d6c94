"""The expressions of `algebra.py`, one file a family."""

from .chains import CHAINS
from .products import PRODUCTS
from .record import Expression as Expression
from .record import half_square as half_square
from .structure import ASSUMED, STRUCTURE
from .used import USED

EXPRESSIONS = (*CHAINS, *PRODUCTS, *USED, *STRUCTURE, *ASSUMED)
