"""A model's predictions beside a reference."""
