"""What is known of the ground, and where: annotations and areas."""
