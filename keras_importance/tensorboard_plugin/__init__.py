"""The tab "Importance" in TensorBoard, which loads it at each start: no Keras, nothing heavy."""
