"""What watches models: the pure core, its shell on Kafka, the demo and the command line."""
