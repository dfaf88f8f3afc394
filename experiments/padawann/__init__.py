"""PADAWANN: evolution prunes a trained network, of which only signs are kept, for several tasks (Dobreva 2022)."""
