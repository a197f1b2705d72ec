"""Questions answered from small frames: pure, frames in, a Report out."""
