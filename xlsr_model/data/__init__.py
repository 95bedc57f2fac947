"""Training data: pictures and their shrunk twins, random patches, video degradation, drawn
pictures.
"""
