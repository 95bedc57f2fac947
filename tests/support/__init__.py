"""What tests share that is no test: other programs and how they end, waiting, the command, the
engine by name."""
