"""Training in mixed precision: algorithms as files of formats, and one engine that emulates them in float32."""
