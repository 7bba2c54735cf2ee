#!/usr/bin/env python3
"""Shows that tests/cuda_code.py finds the round of a tile in a listing, and fails on what it is there for."""
import unittest

import cuda_code

LISTING = """
	code for sm_90
		Function : _ZN7gestalt12multiply_allEPf
        /*0000*/                   MOV R1, c[0x0][0x28] ;            /* 0x0 */
                                                                     /* 0x0 */
        /*0010*/                   LDGSTS.E.BYPASS.128 [R2], [R4.64] ;
        /*0020*/                   LDSM.16.M88.4 R8, [R2] ;
        /*0030*/                   HMMA.16816.F32.BF16 R4, R8, R10, R4 ;
        /*0040*/              @!P0 MUFU.EX2 R4, R4 ;
        /*0050*/               @P1 BRA 0x10 ;
        /*0060*/                   EXIT ;
		Function : _ZN7gestalt5plainEPf
        /*0000*/                   FADD R1, R1, R2 ;
        /*0010*/                   BRA 0x0 ;
"""
BUDGET = {"architecture": "sm_90", "file": "all.cu", "kernel": "multiply_all", "instructions": 5, "tensor": 1,
          "matrix_loads": 1, "copies": 1, "copy_bytes": 16, "special": 1}


class Gate(unittest.TestCase):
    def kernels(self):
        kernels = cuda_code.parse(LISTING, "all.cu")
        for k in kernels:
            k["kernel"] = "multiply_all"
        return kernels

    def test_counts_are_of_the_loop_alone_and_of_kernels_that_multiply(self):
        (kernel,) = self.kernels()
        self.assertEqual({c: kernel[c] for c in cuda_code.COLUMNS}, BUDGET)

    def test_within_budget_passes(self):
        self.assertEqual(cuda_code.faults(self.kernels(), [BUDGET]), [])

    def test_faults(self):
        for changed, text in (({"instructions": 4}, "takes 5 instructions a round, more than its 4"),
                              ({"tensor": 2}, "has tensor 1, less than its 2"),
                              ({"copy_bytes": 32}, "has copy_bytes 16, less than its 32"),
                              ({"kernel": "other"}, "has no budget")):
            self.assertIn(text, cuda_code.faults(self.kernels(), [{**BUDGET, **changed}])[0])
        gone = {**BUDGET, "kernel": "gone"}
        self.assertIn("there is no such kernel", cuda_code.faults(self.kernels(), [BUDGET, gone])[0])


if __name__ == "__main__":
    unittest.main()
