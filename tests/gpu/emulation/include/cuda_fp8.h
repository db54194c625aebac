#pragma once

// NCCL's header asks for it; the project has no 8-bit floats.
