"""TraversalOrder, from which orders of one's own derive; a Loader refuses them and says what replaces them."""


class TraversalOrder:
    """FFCV's base class of orders."""
