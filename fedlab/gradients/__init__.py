"""Gradients estimated from forward passes alone: random directions, finite differences, pools of derivatives."""
