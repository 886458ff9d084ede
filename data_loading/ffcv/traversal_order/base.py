"""TraversalOrder, from which orders of one's own derive; a Loader refuses them and says what stands in their place."""


class TraversalOrder:
    """FFCV's base class of orders."""
