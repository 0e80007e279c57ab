"""FwdLLM's published cost model (Xu et al., USENIX ATC 2024, arXiv 2308.13894): whole methods on two boards."""
