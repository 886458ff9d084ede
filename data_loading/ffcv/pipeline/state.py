"""State, which FFCV's operations of one's own use."""

from data_loading.ffcv.refused import OWN_OP, refused

State = refused("State", OWN_OP)
