"""A tab of our own in TensorBoard. Loaded at each start of TensorBoard: no Keras, nothing heavy."""
