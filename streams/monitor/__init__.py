"""The pure core: records in, records and snapshots out; no clock, Kafka, disk or chance."""
