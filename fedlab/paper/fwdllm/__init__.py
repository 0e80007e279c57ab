"""FwdLLM's published figures, compared with ours."""
