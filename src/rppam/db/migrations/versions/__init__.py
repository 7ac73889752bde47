"""One module per step, numbered. A step that was ever released is never changed."""
