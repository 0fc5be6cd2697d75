"""What Hyper-V adds to a guest that knows it: hypercalls, synthetic MSRs and CPUID leaves, the SynIC."""
