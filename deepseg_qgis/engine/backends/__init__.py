"""What runs a network: OpenVINO or torch, on which device and in which precision."""
