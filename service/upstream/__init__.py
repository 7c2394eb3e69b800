"""Where pictures come from: the origin and the parent. Stores nothing."""
