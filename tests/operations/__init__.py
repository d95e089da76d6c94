"""The operation table: every public function of JAX, with inputs to call it on."""
