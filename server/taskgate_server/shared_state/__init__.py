"""What several replicas share through Valkey."""
