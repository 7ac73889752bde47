"""The process that outlives the node's other processes: it starts them, and tidies up when one of them dies."""
