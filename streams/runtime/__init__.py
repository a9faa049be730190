"""The Faust shell: it carries records into the pure core, and what the core says back to Kafka."""
